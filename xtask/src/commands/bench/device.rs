//! Times a plan on a board by its own counter.

use still8_validation::Result;

use super::Measurement;
use crate::boards::Board;
use crate::console::Console;
use crate::network::Network;

pub(super) fn measure(_network: &Network, _board: &Board, _console: Console) -> Result<Measurement> {
    unreachable!()
}
