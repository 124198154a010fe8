"""The site of the documentation: pages written from the code, and where each page stands."""
