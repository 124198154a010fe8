"""Tests of pyembed, in folders that mirror the package; what several of them share is in `helpers`."""
