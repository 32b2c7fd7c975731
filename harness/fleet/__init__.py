"""Many runs: which recipes the sessions of nox ask for, and several runs at once."""
