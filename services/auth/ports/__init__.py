"""What Auth needs from others, as promises. Any call may raise Unavailable when the store can't be reached."""
