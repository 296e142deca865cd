namespace KataLike.Conformance.Tests;

/// <summary>One runtime before all clauses.</summary>
internal sealed class Trial(Stage stage, bool isRunc)
{
    private readonly Dictionary<Clause, Verdict> _verdicts = [];

    public async Task<IReadOnlyDictionary<Clause, Verdict>> RunAsync(IReadOnlyList<Clause> clauses)
    {
        var judged = clauses.Where(clause => !isRunc || clause.RuncCannot is null).ToList();
        foreach (var clause in clauses.Except(judged))
            _verdicts[clause] = Verdict.NotApplicable(clause.RuncCannot!);
        await stage.OpenAsync();
        try
        {
            foreach (var container in judged.OfType<Observed>().GroupBy(clause => (clause.Container, clause.InExec)))
                await ObserveAsync([.. container]);
            foreach (var clause in judged.OfType<Refused>())
                await JudgeAsync(clause, () => RefuseAsync(clause));
            foreach (var clause in judged.OfType<Played>())
                await JudgeAsync(clause, () => clause.Play(stage));
        }
        finally
        {
            await stage.CloseAsync();
        }
        return _verdicts;
    }

    /// <summary>Clauses that share a container; where it does not run, each gets one of its own, so that only the culprit fails.</summary>
    private async Task ObserveAsync(IReadOnlyList<Observed> clauses)
    {
        Observation seen;
        try
        {
            seen = await LookAsync(clauses);
        }
        catch (Exception error)
        {
            if (clauses.Count == 1)
                _verdicts[clauses[0]] = Verdict.Fail(error);
            else
            {
                foreach (var clause in clauses)
                    await ObserveAsync([clause]);
            }
            return;
        }
        foreach (var clause in clauses)
            await JudgeAsync(clause, () => { clause.Check(seen); return Task.CompletedTask; });
    }

    private async Task<Observation> LookAsync(IReadOnlyList<Observed> clauses)
    {
        var questions = clauses.SelectMany(clause => clause.Questions).ToList();
        if (!clauses[0].InExec)
            return await stage.ObserveAsync(stage.NewBundle(), clauses.Select(clause => clause.Config), questions);
        var process = new System.Text.Json.Nodes.JsonObject();
        foreach (var clause in clauses)
            Config.Merge(process, System.Text.Json.Nodes.JsonNode.Parse(clause.Config)!.AsObject());
        return await stage.ObserveInHolderAsync(process.ToJsonString(), questions);
    }

    private async Task RefuseAsync(Refused clause)
    {
        var bundle = stage.NewBundle();
        await stage.WriteAsync(bundle, [clause.Config], "/probe");
        await stage.RefuseAsync(bundle, clause.Mentions);
    }

    private async Task JudgeAsync(Clause clause, Func<Task> judge)
    {
        try
        {
            await judge();
            _verdicts[clause] = Verdict.Pass;
        }
        catch (Exception error)
        {
            _verdicts[clause] = Verdict.Fail(error);
        }
    }
}
