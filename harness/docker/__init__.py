"""Typed reads of an engine, and the strict exec."""
