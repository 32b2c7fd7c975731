"""Jobs for a CI: which recipes are tested in which job, and whether every one of them was."""
