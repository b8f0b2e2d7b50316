//! Single instructions, each with a portable model.
