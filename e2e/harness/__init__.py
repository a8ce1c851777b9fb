"""What the tests are written with: objects, the controller as a process, faults, load, evidence when one fails."""
