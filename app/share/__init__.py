"""What leaves: catalogues and pictures for print."""
