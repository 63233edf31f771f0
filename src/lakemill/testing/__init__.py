"""Contract suites: what every kind of a plug point must pass, shipped so that third parties can prove theirs."""
