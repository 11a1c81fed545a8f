"""What a script takes on its command line, by the library that it reads it with."""
