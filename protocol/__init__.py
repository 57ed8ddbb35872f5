"""The language of syncd: bytes to meaning and back.

Nothing in this package reads a clock, draws a random number or touches a socket or a file: given the same arguments it
gives the same answers. SPEC.md beside this file is the normative text.
"""
