"""The command `lakemill`: a face that parses, calls and prints."""
