"""What transfer learning will be worth on some data, measured before anything trains."""
