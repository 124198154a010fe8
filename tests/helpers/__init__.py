"""What tests share: makers of files, other implementations to compare with, children."""
