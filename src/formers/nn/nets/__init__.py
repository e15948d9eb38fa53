"""Networks over maps: leaves, the nodes of the tree, and the form in which nobody looks inside."""
