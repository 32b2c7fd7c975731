"""What the noxfile needs: what its command line asks for, its list, and its environments.

Only the standard library is imported at the top of these modules, because `nox -l` answers at once.
"""
