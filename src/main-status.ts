/** What the parts say of themselves, as the status shows it. */
import type { FleetBotState } from "./fleet.ts";
import type { ClaimView, FleetView } from "./leases/fleet-view.ts";
import type { BotStatus, FleetStatus, InstanceStatus, PartitionStatus } from "./ops/status.ts";
import type { Pipeline } from "./pipeline.ts";

export function botStatusOf(
  { id, name, poller }: FleetBotState,
  pipeline: Pipeline | undefined,
  claim: ClaimView | undefined,
): BotStatus {
  const { phase, since, polledAt, error } = poller;
  const known = { name, id, state: phase, since, backlog: pipeline?.backlog(id) ?? 0 };
  const oldestReceivedAt = pipeline?.oldestReceivedAt(id);
  return Object.assign(
    known,
    polledAt === undefined ? {} : { lastPollAt: polledAt },
    oldestReceivedAt === undefined ? {} : { oldestReceivedAt },
    claim === undefined ? {} : { owner: claim.owner, epoch: claim.epoch },
    error === undefined ? {} : { error },
  );
}

/** `backlogs`: unsettled updates by partition, as far as is known. */
export function fleetStatusOf(view: FleetView, backlogs: readonly (number | undefined)[]): FleetStatus {
  const owned = (claims: FleetView["bots"] | FleetView["partitions"], id: string): number =>
    [...claims.values()].filter(({ owner }) => owner === id).length;
  const instances = view.members.map(
    ({ id, host, version, startedAt, draining, alive, heartbeatAt, info }): InstanceStatus => ({
      id,
      host,
      version,
      startedAt,
      state: !alive ? "gone" : draining ? "draining" : "running",
      ...(heartbeatAt === undefined ? {} : { lastHeartbeatAt: heartbeatAt }),
      ready: info["ready"] === true,
      bots: owned(view.bots, id),
      partitions: owned(view.partitions, id),
    }),
  );
  const partitions = backlogs.map((backlog, number): PartitionStatus => {
    const claim = view.partitions.get(number);
    return {
      number,
      ...(claim === undefined ? {} : { owner: claim.owner, epoch: claim.epoch }),
      ...(backlog === undefined ? {} : { backlog }),
    };
  });
  return { self: view.self, instances, partitions };
}
