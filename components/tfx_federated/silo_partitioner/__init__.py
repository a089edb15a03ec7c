"""SiloPartitioner: groups Examples by silo."""
