"""The tests of the store once more, on the simulated file system: what is imported runs with SimOS below it."""
