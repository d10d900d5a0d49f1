"""Images: the catalogue of templates, the store, disks, and the tiny template's builder."""
