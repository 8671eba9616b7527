"""A job with a manifest that several processes do: a captain claims the files, and hands them to its crew."""
