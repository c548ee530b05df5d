//! A key that no policy admits: it must neither be told nor changed, whatever is sent.
