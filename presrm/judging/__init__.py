"""What judges share: verdicts, labels, the tally, the card and the health of a judge."""
