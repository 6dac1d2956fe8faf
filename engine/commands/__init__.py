"""The commands of the command line, one function a command, each a few lines around one call of the library."""
