"""The views for researchers, one SQL file each."""
