using System.Reflection;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using KataLike.Contract.Agent;
using KataLike.Contract.Containerd;
using KataLike.Contract.Containerd.CgroupsV1;
using KataLike.Contract.Containerd.CgroupsV2;
using KataLike.Contract.Containerd.Events;
using KataLike.Contract.Containerd.Runc;
using KataLike.Contract.Containerd.RuntimeOptions;
using KataLike.Contract.Containerd.TaskV2;
using KataLike.Contract.Tests.Ttrpc;
using KataLike.Contract.Ttrpc;

namespace KataLike.Contract.Tests.Containerd;

/// <summary>The hand-written tables against the descriptors of the .proto files.</summary>
public sealed class ServiceTests
{
    [Fact]
    public void TypeUrlsAreTheFullNames()
    {
        var messages = new[] { EventsReflection.Descriptor, CgroupsV1Reflection.Descriptor, CgroupsV2Reflection.Descriptor,
            RuncOptionsReflection.Descriptor, RuntimeOptionsReflection.Descriptor, TypesReflection.Descriptor }
            .SelectMany(file => file.MessageTypes).Select(message => message.FullName).ToHashSet();

        var urls = typeof(TypeUrl).GetFields(BindingFlags.Public | BindingFlags.Static)
            .Select(field => (string)field.GetRawConstantValue()!);
        Assert.All(urls.Where(url => !url.StartsWith("types.containerd.io/")), url => Assert.Contains(url, messages));
    }

    [Fact]
    public void EveryTaskMethodIsServedUnderBothNames()
    {
        var service = TaskReflection.Descriptor.Services.Single();
        Assert.Equal(TaskServiceTable.ServiceV2, service.FullName);
        var tables = TaskServiceTable.For(Recorder.Create<ITaskService>(out _));
        Assert.Equal([TaskServiceTable.ServiceV2, TaskServiceTable.ServiceV3], tables.Select(table => table.Name));
        foreach (var method in service.Methods)
            Assert.All(tables, table => Assert.NotNull(table.Find(method.Name)));
    }

    [Fact]
    public async Task TaskClientReachesEachMethodByItsName() => await CheckClient<ITaskService>(
        TaskReflection.Descriptor.Services.Single(),
        recorder => TaskServiceTable.For(recorder),
        connection => new TaskClient(connection, TaskServiceTable.ServiceV3));

    [Fact]
    public async Task AgentClientReachesEachMethodByItsName()
    {
        Assert.Equal(AgentServiceTable.ServiceName, AgentReflection.Descriptor.Services.Single().FullName);
        await CheckClient<IAgent>(
            AgentReflection.Descriptor.Services.Single(),
            recorder => [AgentServiceTable.For(recorder)],
            connection => new AgentClient(connection));
    }

    private static async Task CheckClient<T>(
        ServiceDescriptor service, Func<T, TtrpcService[]> table, Func<TtrpcClient, object> typed)
        where T : class
    {
        var implementation = Recorder.Create<T>(out var recorder);
        var (left, right) = SocketPair.Create();
        _ = new TtrpcServer(table(implementation)).ServeAsync(new SocketStream(right));
        await using var connection = new TtrpcClient(new SocketStream(left));
        object client = typed(connection);
        foreach (var method in service.Methods)
        {
            var call = client.GetType().GetMethod($"{method.Name}Async");
            Assert.NotNull(call);
            object request = Activator.CreateInstance(method.InputType.ClrType)!;
            var answer = (Task)call.Invoke(client, [request, CancellationToken.None])!;
            await answer;
            Assert.Equal(method.OutputType.ClrType, answer.GetType().GetProperty("Result")!.GetValue(answer)!.GetType());
            Assert.Equal(method.Name, recorder.Called.Last());
        }
        Assert.Equal(service.Methods.Count, recorder.Called.Count);
    }

    /// <summary>Random and mutated bytes give a message or the declared exception, for all that a peer sends us.</summary>
    [Fact]
    public void MessagesSurviveAnyBytes()
    {
        var random = new Random(5);
        var parsers = new[] { AgentReflection.Descriptor, TaskReflection.Descriptor, TtrpcReflection.Descriptor }
            .SelectMany(file => file.MessageTypes).Select(type => type.Parser).ToArray();
        for (int round = 0; round < 100_000; round++)
        {
            byte[] bytes = new byte[random.Next(48)];
            random.NextBytes(bytes);
            if (bytes.Length > 0)
                bytes[0] = (byte)(random.Next(1, 12) << 3 | random.Next(6));
            try
            {
                _ = parsers[round % parsers.Length].ParseFrom(bytes);
            }
            catch (InvalidProtocolBufferException)
            {
            }
        }
    }

    /// <summary>Answers each call with the empty message and remembers its name.</summary>
    public class Recorder : DispatchProxy
    {
        public List<string> Called { get; } = [];

        public static T Create<T>(out Recorder recorder)
            where T : class
        {
            var proxy = Create<T, Recorder>();
            recorder = (Recorder)(object)proxy;
            return proxy;
        }

        protected override object Invoke(MethodInfo? targetMethod, object?[]? args)
        {
            Called.Add(targetMethod!.Name);
            Assert.Equal(targetMethod.Name, ((TtrpcContext)args![1]!).Method);
            var result = targetMethod.ReturnType.GetGenericArguments().Single();
            return typeof(Task).GetMethod(nameof(Task.FromResult))!.MakeGenericMethod(result)
                .Invoke(null, [Activator.CreateInstance(result)])!;
        }
    }
}
