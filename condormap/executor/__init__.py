"""An executor on a pool: calls gathered, submitted together, and watched over."""
