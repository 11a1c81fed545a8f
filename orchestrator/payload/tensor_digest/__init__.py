"""64 bits for the bytes of a tensor, by torch or by Triton."""
