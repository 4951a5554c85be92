//! Who walks where: the promenades' normal traffic and the actors of anomalies, as small scripts.

use std::collections::VecDeque;

use glam::{Vec2, Vec3};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Kind;
use super::canvas::{Canvas, Owner, Shade};
use super::figure::{Look, Pose, advance};
use super::noise::{drift, lerp};
use super::props::{Crate, Stage, Vehicle};
use super::street::{FAR_LANE, FORECOURT, Lights, NEAR_LANE, Street};

/// Longest step of the simulation in seconds.
const STEP_S: f64 = 0.1;
/// More people than this are never in the street, whatever density is asked for.
const CROWD: usize = 160;
/// z from which people come out from under the camera, unseen.
const UNDER_CAMERA: f32 = 3.0;
/// Metres beyond the view at which people appear and vanish.
const WINGS: f32 = 1.5;
/// Metres a second.
const RUN: std::ops::Range<f32> = 4.3..5.4;

/// One thing a person does.
#[derive(Debug, Clone)]
enum Step {
    Walk {
        to: Vec2,
        speed: f32,
    },
    Stand(f32),
    /// Turns, falls that way, lies for the seconds given, rises.
    Lie(Vec2, f32),
    /// From here on the person is (or is no longer) an anomaly.
    Become(Owner),
    /// Leaves the object behind for so many seconds.
    Leave(Crate, f32),
}

#[derive(Debug, Clone)]
struct Person {
    look: Look,
    pose: Pose,
    steps: VecDeque<Step>,
    /// Seconds into the current step, where it has a duration.
    clock: f32,
    owner: Owner,
}

#[derive(Debug, Clone)]
struct Drive {
    vehicle: Vehicle,
    at: Vec2,
    heading: Vec2,
    cruise: f32,
    speed: f32,
    /// x at which it stops, and for how many seconds still.
    halt: Option<(f32, f32)>,
    end: f32,
}

/// Everything that moves in the street.
#[derive(Debug, Clone)]
pub(super) struct Traffic {
    people: Vec<Person>,
    drives: Vec<Drive>,
    /// Objects left, with the seconds they still stand.
    left: Vec<(Crate, f32)>,
    view: View,
    density: f32,
    seed: u32,
    rng: ChaCha8Rng,
    time_s: f64,
    /// A crowd arriving: seconds it still lasts and the promenade it comes by.
    rush: (f32, bool),
}

/// Stretches of street in view, least and greatest x in metres.
#[derive(Debug, Clone, Copy)]
struct View {
    forecourt: (f32, f32),
    near: (f32, f32),
    far: (f32, f32),
}

impl Traffic {
    /// A street with people already in it. `density` is the mean number of people in view.
    pub(super) fn new(street: &Street, size: (usize, usize), density: f32, seed: u64) -> Self {
        let reach = |z: f32| street.camera.reach(z, size.0, size.1);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut traffic = Self {
            people: Vec::new(),
            drives: Vec::new(),
            left: Vec::new(),
            view: View { forecourt: reach(FORECOURT.0), near: reach(NEAR_LANE.1), far: reach(FAR_LANE.1) },
            density,
            seed: rng.random(),
            rng,
            time_s: -45.0,
            rush: (0.0, false),
        };
        traffic.advance(45.0);
        traffic
    }

    /// Moves everything on by some seconds.
    pub(super) fn advance(&mut self, seconds: f64) {
        let steps = (seconds / STEP_S).ceil().max(1.0);
        for _ in 0..steps as usize {
            self.tick(seconds / steps);
        }
    }

    fn tick(&mut self, dt: f64) {
        self.time_s += dt;
        let dt = dt as f32;
        self.arrivals(dt);
        let mut dropped = Vec::new();
        self.people.retain_mut(|p| p.act(dt, &mut dropped));
        self.left.append(&mut dropped);
        self.left.retain_mut(|(_, remaining)| {
            *remaining -= dt;
            *remaining > 0.0
        });
        self.drives.retain_mut(|d| d.roll(dt));
    }

    /// Poisson arrivals on both promenades and across the forecourt, in waves.
    fn arrivals(&mut self, dt: f32) {
        self.rush.0 -= dt;
        if self.rush.0 < -20.0 && self.rng.random_bool(f64::from(dt / 50.0).min(1.0)) {
            self.rush = (self.rng.random_range(3.0..7.0), self.rng.random_bool(0.5));
        }
        let wave = 0.25 + 1.3 * drift(self.time_s + 1e4, 40.0, self.seed);
        let rushing = |near: bool| if self.rush.0 > 0.0 && self.rush.1 == near { 5.0 } else { 1.0 };
        let transit = |(low, high): (f32, f32)| (high - low + 2.0 * WINGS) / 1.35;
        // Groups hold 1.5 people on average.
        let rate = |share: f32, span| self.density * share * wave / (1.5 * transit(span));
        let near = rate(0.42, self.view.near) * rushing(true);
        let far = rate(0.44, self.view.far) * rushing(false);
        let across = rate(0.05, self.view.near);
        let mut arrives = |rate: f32| self.rng.random_bool(f64::from(rate * dt).clamp(0.0, 1.0));
        let (near, far, across) = (arrives(near), arrives(far), arrives(across));
        if near {
            self.add_group(true);
        }
        if far {
            self.add_group(false);
        }
        if across {
            self.add_crossing();
        }
    }

    fn add_group(&mut self, near: bool) {
        let size = [1, 1, 1, 1, 2, 2, 3][self.rng.random_range(0..7)];
        let speed = self.rng.random_range(1.1..1.65);
        let (low, high) = if near { NEAR_LANE } else { FAR_LANE };
        let z = self.rng.random_range(low..high);
        let pause = self
            .rng
            .random_bool(0.12)
            .then(|| (self.rng.random_range(0.2..0.8), self.rng.random_range(1.5..4.5)));
        for i in 0..size {
            let z = (z + 0.62 * i as f32).min(high + 0.3);
            let lag = self.rng.random_range(-0.25..0.25);
            let steps = self.along(near, z, speed, lag, pause);
            self.add(steps, 0);
        }
    }

    /// A walk along a promenade in its direction, beginning and ending out of view.
    fn along(&mut self, near: bool, z: f32, speed: f32, lag: f32, pause: Option<(f32, f32)>) -> Vec<Step> {
        let (low, high) = if near { self.view.near } else { self.view.far };
        let (low, high) = (low - WINGS, high + WINGS);
        let (from, to) = if near { (low, high) } else { (high, low) };
        let mut steps = vec![Step::Walk { to: Vec2::new(from - lag, z), speed: f32::INFINITY }];
        let mut bend = |share: f32| Vec2::new(lerp(from, to, share), z + self.rng.random_range(-0.25..0.25));
        if let Some((share, seconds)) = pause {
            let stop = bend(share);
            steps.extend([Step::Walk { to: stop, speed }, Step::Stand(seconds)]);
        } else {
            let (first, second) = (bend(0.35), bend(0.7));
            steps.extend([Step::Walk { to: first, speed }, Step::Walk { to: second, speed }]);
        }
        steps.push(Step::Walk { to: Vec2::new(to, z), speed });
        steps
    }

    /// From under the camera over the forecourt to a promenade, or the other way.
    fn add_crossing(&mut self) {
        let near = self.rng.random_bool(0.7);
        let speed = self.rng.random_range(1.1..1.6);
        let (view, lane) = if near { (self.view.near, NEAR_LANE) } else { (self.view.far, FAR_LANE) };
        let z = self.rng.random_range(lane.0..lane.1);
        let turn = Vec2::new(lerp(view.0, view.1, self.rng.random_range(0.3..0.7)), z);
        let foot = self.under_camera();
        let inbound = self.rng.random_bool(0.5);
        let (low, high) = (view.0 - WINGS, view.1 + WINGS);
        let (from, to) = if near { (low, high) } else { (high, low) };
        let path = if inbound { [foot, turn, Vec2::new(to, z)] } else { [Vec2::new(from, z), turn, foot] };
        let mut steps = vec![Step::Walk { to: path[0], speed: f32::INFINITY }];
        steps.extend(path[1..].iter().map(|&to| Step::Walk { to, speed }));
        self.add(steps, 0);
    }

    /// A place below the frame.
    fn under_camera(&mut self) -> Vec2 {
        let (low, high) = self.view.forecourt;
        Vec2::new(lerp(low, high, self.rng.random_range(0.25..0.75)), UNDER_CAMERA)
    }

    /// A place well in view on the forecourt.
    fn spot(&mut self) -> Vec2 {
        let (low, high) = self.view.forecourt;
        let x = lerp(low, high, self.rng.random_range(0.22..0.78));
        Vec2::new(x, self.rng.random_range(FORECOURT.0..FORECOURT.1))
    }

    fn add(&mut self, steps: Vec<Step>, owner: Owner) {
        if self.people.len() >= CROWD {
            return;
        }
        let pose = Pose {
            foot: Vec2::ZERO,
            facing: Vec2::X,
            phase: self.rng.random_range(0.0..std::f32::consts::TAU),
            swing: 0.0,
            fallen: 0.0,
        };
        let look = Look::random(&mut self.rng);
        self.people.push(Person { look, pose, steps: steps.into(), clock: 0.0, owner });
    }

    /// Brings the actors of an anomaly onto the stage; it is to be seen for about `seconds`.
    pub(super) fn stage(&mut self, kind: Kind, seconds: f32) {
        match kind {
            Kind::Vehicle => self.stage_vehicle(seconds),
            Kind::Runner => self.stage_runner(),
            Kind::WrongDirection => self.stage_wrong_direction(),
            Kind::Loitering => self.stage_loiterer(seconds),
            Kind::FallenPerson => self.stage_fall(seconds),
            Kind::LeftObject => self.stage_left_object(seconds),
            Kind::LightOut => {}
        }
    }

    fn stage_vehicle(&mut self, seconds: f32) {
        let vehicle = Vehicle::random(&mut self.rng);
        let near = self.rng.random_bool(0.6);
        let z = if near { self.rng.random_range(7.9..9.2) } else { self.rng.random_range(11.4..12.4) };
        let (low, high) = if near { self.view.forecourt } else { self.view.near };
        let margin = vehicle.length();
        let (low, high) = (low - margin, high + margin);
        let forward = self.rng.random_bool(0.5);
        let (from, end) = if forward { (low, high) } else { (high, low) };
        let cruise = self.rng.random_range(4.0..5.5);
        let halt_s = seconds - (high - low) / cruise;
        let halt = (halt_s > 1.0).then(|| (lerp(low, high, self.rng.random_range(0.35..0.65)), halt_s));
        let heading = Vec2::new((end - from).signum(), 0.0);
        self.drives.push(Drive {
            vehicle,
            at: Vec2::new(from, z),
            heading,
            cruise,
            speed: cruise,
            halt,
            end,
        });
    }

    fn stage_runner(&mut self) {
        let near = self.rng.random_bool(0.6);
        let (low, high) = if near { NEAR_LANE } else { FAR_LANE };
        let z = self.rng.random_range(low..high);
        let speed = self.rng.random_range(RUN);
        let steps = self.along(near, z, speed, 0.0, None);
        self.add(steps, Kind::Runner.owner());
    }

    fn stage_wrong_direction(&mut self) {
        let near = self.rng.random_bool(0.6);
        let (low, high) = if near { NEAR_LANE } else { FAR_LANE };
        let z = self.rng.random_range(low..high);
        let speed = self.rng.random_range(1.3..1.6);
        let mut steps = self.along(near, z, speed, 0.0, None);
        let places: Vec<Vec2> = steps
            .iter()
            .filter_map(|s| if let Step::Walk { to, .. } = s { Some(*to) } else { None })
            .collect();
        for (step, place) in steps.iter_mut().zip(places.into_iter().rev()) {
            if let Step::Walk { to, .. } = step {
                *to = place;
            }
        }
        self.add(steps, Kind::WrongDirection.owner());
    }

    fn stage_loiterer(&mut self, seconds: f32) {
        let home = self.spot();
        let mut steps = self.arrive(home);
        steps.push(Step::Become(Kind::Loitering.owner()));
        let mut remaining = seconds;
        while remaining > 0.0 {
            let pause = self.rng.random_range(1.0..3.0);
            let reach = Vec2::new(self.rng.random_range(-1.6..1.6), self.rng.random_range(-0.6..0.6));
            steps.extend([Step::Stand(pause), Step::Walk { to: home + reach, speed: 0.8 }]);
            remaining -= pause + 1.4;
        }
        self.depart(&mut steps);
        self.add(steps, 0);
    }

    fn stage_fall(&mut self, seconds: f32) {
        let place = self.spot();
        let mut steps = self.arrive(place);
        let side = if self.rng.random_bool(0.5) { 1.0 } else { -1.0 };
        let towards = Vec2::new(side, self.rng.random_range(-0.4..0.4)).normalize();
        steps.extend([Step::Become(Kind::FallenPerson.owner()), Step::Lie(towards, seconds)]);
        self.depart(&mut steps);
        self.add(steps, 0);
    }

    fn stage_left_object(&mut self, seconds: f32) {
        let place = self.spot();
        let object = Crate::left_object(place, &mut self.rng);
        // Its bearer stands before it while it is put down.
        let before = place - Vec2::new(0.0, 0.5 + object.size.z / 2.0);
        let mut steps = self.arrive(before);
        steps.extend([Step::Stand(0.7), Step::Leave(object, seconds), Step::Stand(0.5)]);
        self.depart(&mut steps);
        self.add(steps, 0);
    }

    fn arrive(&mut self, place: Vec2) -> Vec<Step> {
        let from = self.under_camera();
        let speed = self.rng.random_range(1.2..1.5);
        vec![Step::Walk { to: from, speed: f32::INFINITY }, Step::Walk { to: place, speed }]
    }

    fn depart(&mut self, steps: &mut Vec<Step>) {
        let away = self.under_camera();
        steps.extend([Step::Become(0), Step::Walk { to: away, speed: 1.4 }]);
    }

    /// Casts all shadows.
    pub(super) fn cast(&self, street: &Street, throw: Vec2, shade: &mut Shade) {
        let camera = &street.camera;
        for p in &self.people {
            p.look.cast(&p.pose, camera, throw, shade);
        }
        for d in &self.drives {
            d.vehicle.cast(d.at, d.heading, camera, throw, shade);
        }
        for (object, _) in &self.left {
            object.cast(camera, throw, shade);
        }
    }

    /// What moves, each with its distance from the camera in metres, in no order.
    pub(super) fn actors<'a>(&'a self, street: &Street) -> Vec<(f32, Actor<'a>)> {
        let depth = |foot: Vec2| street.camera.depth(Vec3::new(foot.x, 0.0, foot.y));
        let people = self.people.iter().map(|p| (depth(p.pose.foot), Actor(Part::Person(p))));
        let drives = self.drives.iter().map(|d| (depth(d.at), Actor(Part::Drive(d))));
        let left = self.left.iter().map(|(c, _)| (depth(c.place), Actor(Part::Left(c))));
        people.chain(drives).chain(left).collect()
    }
}

/// Something to draw.
#[derive(Clone, Copy)]
pub(super) struct Actor<'a>(Part<'a>);

#[derive(Clone, Copy)]
enum Part<'a> {
    Person(&'a Person),
    Drive(&'a Drive),
    Left(&'a Crate),
}

impl Actor<'_> {
    pub(super) fn draw(&self, street: &Street, lights: &Lights, throw: Vec2, canvas: &mut Canvas) {
        let camera = &street.camera;
        let light = |foot: Vec2, canvas: &Canvas| street.light_at(foot, lights, canvas);
        let stage = |light, kind: Kind| Stage { camera, light, sun_throw: throw, owner: kind.owner() };
        match self.0 {
            Part::Person(p) => {
                let light = light(p.pose.foot, canvas);
                p.look.draw(&p.pose, camera, light, throw, p.owner, canvas);
            }
            Part::Drive(d) => {
                let stage = stage(light(d.at, canvas), Kind::Vehicle);
                d.vehicle.draw(d.at, d.heading, &stage, canvas);
            }
            Part::Left(c) => c.draw(&stage(light(c.place, canvas), Kind::LeftObject), canvas),
        }
    }
}

impl Person {
    /// Acts for `dt` seconds; false once the script is done.
    fn act(&mut self, dt: f32, dropped: &mut Vec<(Crate, f32)>) -> bool {
        loop {
            let Some(step) = self.steps.front() else { return false };
            let done = match *step {
                Step::Walk { to, speed } if speed.is_infinite() => {
                    self.pose.foot = to;
                    true
                }
                Step::Walk { to, speed } => {
                    if self.walk(to, speed, dt) {
                        self.steps.pop_front();
                    }
                    return !self.steps.is_empty();
                }
                Step::Stand(seconds) => {
                    self.relax(0.0, dt);
                    self.clock += dt;
                    self.clock >= seconds
                }
                Step::Lie(towards, seconds) => {
                    self.relax(0.25, dt);
                    self.pose.facing =
                        self.pose.facing.lerp(towards, (8.0 * dt).min(1.0)).normalize_or(towards);
                    self.clock += dt;
                    self.pose.fallen = lying(self.clock, seconds);
                    self.clock >= seconds
                }
                Step::Become(owner) => {
                    self.owner = owner;
                    true
                }
                Step::Leave(ref object, seconds) => {
                    dropped.push((object.clone(), seconds));
                    true
                }
            };
            if !done {
                return true;
            }
            self.clock = 0.0;
            self.steps.pop_front();
        }
    }

    /// Walks towards a place; true on arrival.
    fn walk(&mut self, to: Vec2, speed: f32, dt: f32) -> bool {
        let way = to - self.pose.foot;
        let metres = speed * dt;
        self.relax((speed / 1.35).powf(0.55), dt);
        let ahead = way.normalize_or(self.pose.facing);
        self.pose.facing = self.pose.facing.lerp(ahead, (5.0 * dt).min(1.0)).normalize_or(ahead);
        // A runner's stride is longer.
        let stride = self.look.stride() * (speed / 1.35).powf(0.6).clamp(0.7, 2.2);
        self.pose.phase = advance(self.pose.phase, metres, stride);
        if way.length() <= metres {
            self.pose.foot = to;
            return true;
        }
        self.pose.foot += ahead * metres;
        false
    }

    /// Lets the swing of the limbs approach a level.
    fn relax(&mut self, swing: f32, dt: f32) {
        self.pose.swing = lerp(self.pose.swing, swing, (6.0 * dt).min(1.0));
    }
}

/// How far someone has fallen `clock` seconds into `seconds` on the ground: down in 0.7 s, up in 1 s.
fn lying(clock: f32, seconds: f32) -> f32 {
    let down = (clock / 0.7).min(1.0);
    let up = ((seconds - clock) / 1.0).clamp(0.0, 1.0);
    (down * down).min(up)
}

impl Drive {
    /// Drives for `dt` seconds; false once out of view.
    fn roll(&mut self, dt: f32) -> bool {
        let brake = 3.0;
        let target = match &mut self.halt {
            Some((place, seconds)) => {
                let ahead = (*place - self.at.x) * self.heading.x;
                if ahead < 0.1 || self.speed < 0.05 {
                    *seconds -= dt;
                    if *seconds <= 0.0 {
                        self.halt = None;
                    }
                    0.0
                } else {
                    self.cruise.min((2.0 * brake * (ahead - 0.05).max(0.0)).sqrt())
                }
            }
            None => self.cruise,
        };
        self.speed = if target < self.speed { target } else { (self.speed + 2.0 * dt).min(target) };
        self.at += self.heading * (self.speed * dt);
        (self.end - self.at.x) * self.heading.x > 0.0
    }
}
