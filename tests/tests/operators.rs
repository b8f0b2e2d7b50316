//! stub
use xtask as _;
