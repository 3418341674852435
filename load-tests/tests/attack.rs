//! Four kinds of attack against the product as it is built for tests: whatever they do, 99 of 100 honest requests are served at once, every
//! honest offer stays in sight, and whoever cheats meanwhile is gone. How fast is told and not judged, and 99.9 % are asked for
//! there: that takes a quiet machine.

mod slow {
    use std::process::Command;

    #[test]
    fn the_honest_are_served_under_attack_and_it_hides_nobody_who_is_honest() {
        let mut attack = Command::new(env!("CARGO_BIN_EXE_load-tests"));
        attack.args(["attack", "--check", "--rounds", "1", "--attackers", "16"]);
        for cell in ["batches", "huge-bodies", "hot-good", "imports"] {
            attack.args(["--cell", cell]);
        }
        let told = attack.output().unwrap();
        let (out, errors) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
        assert!(told.status.success(), "{out}{errors}");
        assert_eq!(out.matches(": share of honest requests served").count(), 4, "{out}");
    }
}
