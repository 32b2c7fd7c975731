"""The program abra: found, checked, called and installed; never a part of this project."""
