//! Four kinds of attack against the product as it is built for tests: whatever they do, every honest request is served, every honest
//! offer stays in sight, and whoever cheats meanwhile is gone. How fast is told and not judged: that takes a quiet machine.

mod slow {
    use std::process::Command;

    #[test]
    fn an_attack_costs_the_honest_no_request_and_hides_nobody_who_is_honest() {
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
