//! The configuration: what the file, the environment and the flags say, and what they mean.
