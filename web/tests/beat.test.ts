import { describe, expect, it } from 'vitest';
import { placeOf, WatchedMeter } from '../src/lib/player/beat';

describe('watched seconds', () => {
  it('are the way the position went while it ran', () => {
    const meter = new WatchedMeter();
    meter.start(10, 0);
    for (let i = 1; i <= 20; i += 1) meter.look(10 + i * 0.25, i * 250, 1);
    expect(meter.take()).toBe(5);
    expect(meter.take()).toBe(0);
  });

  it('are media seconds: at double speed five seconds of the clock are ten', () => {
    const meter = new WatchedMeter();
    meter.start(0, 0);
    for (let i = 1; i <= 20; i += 1) meter.look(i * 0.5, i * 250, 2);
    expect(meter.take()).toBe(10);
  });

  it('do not count a jump that playback could not have made', () => {
    const meter = new WatchedMeter();
    meter.start(0, 0);
    meter.look(1, 1000, 1);
    meter.look(600, 1250, 1);
    expect(meter.take()).toBe(1.75);
  });

  it('do not count a step back', () => {
    const meter = new WatchedMeter();
    meter.start(100, 0);
    meter.look(40, 250, 1);
    meter.look(40.25, 500, 1);
    expect(meter.take()).toBe(0.25);
  });

  it('count nothing while stopped, and go on from the new place', () => {
    const meter = new WatchedMeter();
    meter.start(0, 0);
    meter.look(2, 2000, 1);
    meter.stop();
    meter.look(50, 9000, 1);
    meter.start(50, 10_000);
    meter.look(51, 11_000, 1);
    expect(meter.take()).toBe(3);
  });

  it('count fully when the page was asleep and looked seldom', () => {
    const meter = new WatchedMeter();
    meter.start(0, 0);
    meter.look(60, 60_000, 1);
    expect(meter.take()).toBe(60);
  });
});

describe('the place in a beat', () => {
  it('never lies beyond the end or before the start', () => {
    expect(placeOf(596.041, 596)).toEqual({ position_s: 596, duration_s: 596 });
    expect(placeOf(-0.001, 596)).toEqual({ position_s: 0, duration_s: 596 });
  });

  it('is rounded to milliseconds and survives what media elements say while loading', () => {
    expect(placeOf(1.23456, Number.NaN)).toEqual({ position_s: 1.235, duration_s: 0 });
    expect(placeOf(Number.NaN, Infinity)).toEqual({ position_s: 0, duration_s: 0 });
  });
});
