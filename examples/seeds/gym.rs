//! A little gym with one environment: Pong, with the shapes of Atari's. No Mobula in it.

use super::random::randint;

/// Lines, columns and colours of an observation.
pub(crate) const SHAPE: [usize; 3] = [210, 160, 3];

const TOP: i32 = 34;
const BOTTOM: i32 = 194;
const LEFT: i32 = 16;
const RIGHT: i32 = 140;
/// Height of a paddle.
const PADDLE: i32 = 16;
/// Points that end a game.
const GAME: u32 = 21;

const BACKGROUND: [u8; 3] = [144, 72, 17];
const COMPUTER: [u8; 3] = [213, 130, 74];
const PLAYER: [u8; 3] = [92, 186, 92];
const BALL: [u8; 3] = [236, 236, 236];

/// Makes an environment by its name.
pub(crate) fn make(name: &str) -> Result<Pong, String> {
    match name {
        "Pong-v0" => Ok(Pong::new()),
        _ => Err(format!("there is no environment {name}, only Pong-v0")),
    }
}

/// The player, on the right, against a computer that follows the ball a little too slowly.
pub(crate) struct Pong {
    ball: (i32, i32),
    speed: (i32, i32),
    computer: i32,
    player: i32,
    points: (u32, u32),
    frame: u32,
}

impl Pong {
    fn new() -> Self {
        let middle = (TOP + BOTTOM - PADDLE) / 2;
        let mut pong = Pong { ball: (0, 0), speed: (0, 0), computer: middle, player: middle, points: (0, 0), frame: 0 };
        pong.serve();
        pong
    }

    /// Starts a new game.
    pub(crate) fn reset(&mut self) {
        *self = Pong::new();
    }

    /// Counts the steps since the start of the game.
    pub(crate) fn frame(&self) -> u32 {
        self.frame
    }

    /// Plays one frame; gives the reward, and whether the game is over. Actions are Atari's: 2 and 4 go up, 3 and 5
    /// down, others nowhere.
    pub(crate) fn step(&mut self, action: u32) -> (f64, bool) {
        self.frame += 1;
        let direction = match action {
            2 | 4 => -4,
            3 | 5 => 4,
            _ => 0,
        };
        self.player = (self.player + direction).clamp(TOP, BOTTOM - PADDLE);
        let follow = (self.ball.1 - PADDLE / 2 - self.computer).clamp(-2, 2);
        self.computer = (self.computer + follow).clamp(TOP, BOTTOM - PADDLE);

        self.ball.0 += self.speed.0;
        self.ball.1 += self.speed.1;
        if !(TOP..BOTTOM).contains(&self.ball.1) {
            self.speed.1 = -self.speed.1;
            self.ball.1 = self.ball.1.clamp(TOP, BOTTOM - 1);
        }
        let meets = |paddle: i32| (paddle..paddle + PADDLE).contains(&self.ball.1);
        let (missed, reward) = match self.ball.0 {
            ..=LEFT if !meets(self.computer) => (true, 1.0),
            RIGHT.. if !meets(self.player) => (true, -1.0),
            ..=LEFT | RIGHT.. => (false, 0.0),
            _ => return (0.0, false),
        };
        self.speed.0 = -self.speed.0;
        self.ball.0 = self.ball.0.clamp(LEFT + 1, RIGHT - 1);
        if missed {
            if reward > 0.0 {
                self.points.1 += 1;
            } else {
                self.points.0 += 1;
            }
            self.serve();
        }
        (reward, self.points.0 == GAME || self.points.1 == GAME)
    }

    /// Draws the screen into memory of [`SHAPE`].
    pub(crate) fn render(&self, screen: &mut [u8]) {
        for (at, pixel) in screen.chunks_exact_mut(3).enumerate() {
            let (x, y) = ((at % SHAPE[1]) as i32, (at / SHAPE[1]) as i32);
            let paddle = |left: i32, top: i32| (left..left + 4).contains(&x) && (top..top + PADDLE).contains(&y);
            let colour = if (self.ball.0..self.ball.0 + 2).contains(&x) && (self.ball.1..self.ball.1 + 4).contains(&y) {
                BALL
            } else if paddle(LEFT, self.computer) {
                COMPUTER
            } else if paddle(RIGHT, self.player) {
                PLAYER
            } else {
                BACKGROUND
            };
            pixel.copy_from_slice(&colour);
        }
    }

    /// Puts the ball in the middle, on its way to one of the sides.
    fn serve(&mut self) {
        self.ball = ((LEFT + RIGHT) / 2, randint(TOP as u32 + 20, BOTTOM as u32 - 20) as i32);
        self.speed = (if randint(0, 1) == 0 { -4 } else { 4 }, randint(1, 3) as i32);
    }
}
