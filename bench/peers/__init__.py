"""The supervisors that are measured, one file each."""
