//! How long the pure parts of a request take. `cargo bench --bench hot_parts`.

mod loopback;
mod parts;

use std::error::Error;

use criterion::Criterion;

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    for mut part in parts::all()? {
        criterion.bench_function(part.name, |bencher| bencher.iter(|| (part.once)()));
    }
    criterion.final_summary();
    Ok(())
}
