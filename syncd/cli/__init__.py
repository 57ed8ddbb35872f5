"""The face: runs a node, or talks to one over its control socket."""
