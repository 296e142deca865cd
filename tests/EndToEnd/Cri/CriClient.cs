using Google.Protobuf;
using KataLike.EndToEnd.Tests.Cri.Api;

namespace KataLike.EndToEnd.Tests.Cri;

/// <summary>The calls of the Container Runtime Interface that kubelet makes, one method each.</summary>
internal sealed class CriClient(GrpcConnection connection)
{
    public Task<VersionResponse> VersionAsync() => RuntimeAsync("Version", new VersionRequest(), VersionResponse.Parser);

    public Task<StatusResponse> StatusAsync() => RuntimeAsync("Status", new StatusRequest(), StatusResponse.Parser);

    public async Task<string> RunPodAsync(PodSandboxConfig config, string handler) => (await RuntimeAsync(
        "RunPodSandbox", new RunPodSandboxRequest { Config = config, RuntimeHandler = handler }, RunPodSandboxResponse.Parser)).PodSandboxId;

    public Task StopPodAsync(string pod) =>
        RuntimeAsync("StopPodSandbox", new StopPodSandboxRequest { PodSandboxId = pod }, StopPodSandboxResponse.Parser);

    public Task RemovePodAsync(string pod) =>
        RuntimeAsync("RemovePodSandbox", new RemovePodSandboxRequest { PodSandboxId = pod }, RemovePodSandboxResponse.Parser);

    public async Task<PodSandboxStatus> PodStatusAsync(string pod) => (await RuntimeAsync(
        "PodSandboxStatus", new PodSandboxStatusRequest { PodSandboxId = pod }, PodSandboxStatusResponse.Parser)).Status;

    /// <summary>What containerd adds when it is asked to be verbose, as JSON.</summary>
    public async Task<string> PodInfoAsync(string pod) => (await RuntimeAsync(
        "PodSandboxStatus", new PodSandboxStatusRequest { PodSandboxId = pod, Verbose = true }, PodSandboxStatusResponse.Parser)).Info["info"];

    public async Task<IReadOnlyList<PodSandbox>> ListPodsAsync() =>
        (await RuntimeAsync("ListPodSandbox", new ListPodSandboxRequest(), ListPodSandboxResponse.Parser)).Items;

    public async Task<string> CreateContainerAsync(string pod, ContainerConfig config, PodSandboxConfig podConfig) => (await RuntimeAsync(
        "CreateContainer", new CreateContainerRequest { PodSandboxId = pod, Config = config, SandboxConfig = podConfig },
        CreateContainerResponse.Parser)).ContainerId;

    public Task StartContainerAsync(string id) =>
        RuntimeAsync("StartContainer", new StartContainerRequest { ContainerId = id }, StartContainerResponse.Parser);

    /// <param name="grace">Seconds between SIGTERM and SIGKILL.</param>
    public Task StopContainerAsync(string id, long grace) =>
        RuntimeAsync("StopContainer", new StopContainerRequest { ContainerId = id, Timeout = grace }, StopContainerResponse.Parser);

    public Task RemoveContainerAsync(string id) =>
        RuntimeAsync("RemoveContainer", new RemoveContainerRequest { ContainerId = id }, RemoveContainerResponse.Parser);

    public async Task<IReadOnlyList<Container>> ListContainersAsync() =>
        (await RuntimeAsync("ListContainers", new ListContainersRequest(), ListContainersResponse.Parser)).Containers;

    public async Task<ContainerStatus> ContainerStatusAsync(string id) => (await RuntimeAsync(
        "ContainerStatus", new ContainerStatusRequest { ContainerId = id }, ContainerStatusResponse.Parser)).Status;

    public Task UpdateAsync(string id, LinuxContainerResources resources) => RuntimeAsync(
        "UpdateContainerResources", new UpdateContainerResourcesRequest { ContainerId = id, Linux = resources },
        UpdateContainerResourcesResponse.Parser);

    public Task ReopenLogAsync(string id) =>
        RuntimeAsync("ReopenContainerLog", new ReopenContainerLogRequest { ContainerId = id }, ReopenContainerLogResponse.Parser);

    /// <param name="timeout">Seconds; 0: none.</param>
    public Task<ExecSyncResponse> ExecSyncAsync(string id, long timeout, params string[] command) => RuntimeAsync(
        "ExecSync", new ExecSyncRequest { ContainerId = id, Cmd = { command }, Timeout = timeout }, ExecSyncResponse.Parser);

    public async Task<Uri> ExecAsync(string id, bool terminal, bool stdin, params string[] command) => new((await RuntimeAsync(
        "Exec", new ExecRequest { ContainerId = id, Cmd = { command }, Tty = terminal, Stdin = stdin, Stdout = true, Stderr = !terminal },
        ExecResponse.Parser)).Url);

    public async Task<Uri> AttachAsync(string id, bool terminal, bool stdin) => new((await RuntimeAsync(
        "Attach", new AttachRequest { ContainerId = id, Tty = terminal, Stdin = stdin, Stdout = true, Stderr = !terminal },
        AttachResponse.Parser)).Url);

    public async Task<Uri> PortForwardAsync(string pod, int port) =>
        new((await RuntimeAsync("PortForward", new PortForwardRequest { PodSandboxId = pod, Port = { port } }, PortForwardResponse.Parser)).Url);

    public async Task<ContainerStats> StatsAsync(string id) =>
        (await RuntimeAsync("ContainerStats", new ContainerStatsRequest { ContainerId = id }, ContainerStatsResponse.Parser)).Stats;

    public async Task<IReadOnlyList<ContainerStats>> ListStatsAsync(string pod) => (await RuntimeAsync(
        "ListContainerStats", new ListContainerStatsRequest { Filter = new ContainerStatsFilter { PodSandboxId = pod } },
        ListContainerStatsResponse.Parser)).Stats;

    public async Task<PodSandboxStats> PodStatsAsync(string pod) =>
        (await RuntimeAsync("PodSandboxStats", new PodSandboxStatsRequest { PodSandboxId = pod }, PodSandboxStatsResponse.Parser)).Stats;

    public async Task<Image?> ImageAsync(string name) => (await connection.CallAsync(
        "/runtime.v1.ImageService/ImageStatus", new ImageStatusRequest { Image = new ImageSpec { Image = name } }, ImageStatusResponse.Parser)).Image;

    private Task<T> RuntimeAsync<T>(string method, IMessage request, MessageParser<T> parser) where T : IMessage<T> =>
        connection.CallAsync($"/runtime.v1.RuntimeService/{method}", request, parser);
}
