"""What the consensus costs: votes and certificates, footers, finality in simulated time, and an embedded chain's CPU."""
