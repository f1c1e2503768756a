use hig::settings::Settings;
use hig::step::*;
use hig::systems::*;
use hig::trainer::*;
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let mut sys = system(&args[1]).unwrap();
    let secs: f64 = args[2].parse().unwrap();
    let only = args.get(3).cloned();
    for kv in args.iter().skip(4) {
        let (k, v) = kv.split_once('=').unwrap();
        sys.set(k, v).unwrap();
    }
    let problem = sys.problem(0);
    for (name, sets) in sys.comparison() {
        if only.as_ref().is_some_and(|o| o != name && o != "all") {
            continue;
        }
        let mut m = method(name).unwrap();
        let mut t = Training::default();
        for (k, v) in sets {
            if t.has(k) {
                t.set(k, v).unwrap()
            } else {
                m.set(k, v).unwrap()
            }
        }
        struct P;
        impl Observer for P {
            fn evaluation(&mut self, e: &Evaluation<'_>) -> hig::Result<Flow> {
                println!(
                    "{} {:.2} {:.3}s {:.3e} {:.3e} {:?}",
                    e.update, e.epoch, e.seconds, e.train_loss, e.test_loss, e.diagnostics
                );
                Ok(Flow::Continue)
            }
        }
        t.evaluate_every = if t.batch == 32 {
            128
        } else if args[1] == "toy" {
            200
        } else {
            160
        };
        println!("== {name}");
        let o = train(
            &problem,
            m.as_ref(),
            problem.network.initial_parameters(0),
            &t,
            Budget::seconds(secs),
            0,
            &mut [&mut P],
        )
        .unwrap();
        println!(
            "{} {} {}us/update",
            o.stop,
            o.updates,
            o.seconds * 1e6 / o.updates as f64
        );
    }
}
