"""The command line: flags in, calls of the library, text and exit codes out."""
