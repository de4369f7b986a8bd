"""What several rooms speak of: bars, orders, accounts, costs and statistics of returns."""
