"""Renderers of a finished run; none of them decides anything."""
