//! One pure part, done a number of times, for callgrind to count: `instructions PART TIMES`; without
//! a part, the names of all. `benches/instructions.sh` runs it.

mod loopback;
mod parts;

use std::error::Error;
use std::io::{self, Write};

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo bench` adds `--bench`.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let mut parts = parts::all()?;
    let [name, times] = arguments.as_slice() else {
        for part in parts {
            writeln!(io::stdout(), "{}", part.name)?;
        }
        return Ok(());
    };
    let part = parts.iter_mut().find(|part| part.name == name).ok_or("no such part")?;
    for _ in 0..times.parse()? {
        (part.once)();
    }
    Ok(())
}
