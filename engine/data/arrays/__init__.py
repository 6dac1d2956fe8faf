"""Arrays of images in HDF5, NumPy and Zarr: rows are objects."""
