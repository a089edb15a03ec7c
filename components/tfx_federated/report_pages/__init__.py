"""What the reports' pages share: colours, figures, numbers in words."""
