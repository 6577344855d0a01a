//! What the agent remembers about its own deeds, so that dying on any line loses nothing.
