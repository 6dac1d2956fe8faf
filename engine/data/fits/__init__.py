"""FITS files: a file, an extension or a folder of them an object, or a band of one."""
